// Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
// Change godwit.yaml and render again rather than this file.

@description('The region of everything here.')
param location string = resourceGroup().location

@description('How long logs and requests are kept.')
param logRetentionInDays int = 30

@description('Where the storage accounts of batch.input and batch.output are.')
param batchResourceGroup string = resourceGroup().name

// Names that the whole of Azure shares end in what no one else has.
var token = uniqueString(resourceGroup().id, 'fraud')
var appName = 'fraud-${token}'

// Azure's built-in roles, by their ids.
var roles = {
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageBlobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
}

// Who the function is. No key or password is anywhere in these files.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: appName
  location: location
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: appName
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logRetentionInDays
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: appName
  location: location
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
    DisableLocalAuth: true
  }
}

resource writesMetrics 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, identity.id, roles.monitoringMetricsPublisher)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
  }
}

// What the Functions host keeps, the packages, and the data of batches.
resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'st${token}'
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    // Nobody gets in with a key: callers are identities with roles.
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      defaultAction: 'Allow'
      bypass: 'AzureServices'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: storage
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'packages'
  properties: {
    publicAccess: 'None'
  }
}

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'dead-letters'
  properties: {
    publicAccess: 'None'
  }
}

// The Functions host keeps its locks and keys in blobs, and asks for this role.
resource keepsState 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: storage
  name: guid(storage.id, identity.id, roles.storageBlobDataOwner)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

module readsRows 'modules/container-role.bicep' = {
  name: 'container-role-readsRows'
  scope: resourceGroup(batchResourceGroup)
  params: {
    accountName: 'acmelake'
    containerName: 'rows'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.storageBlobDataReader
  }
}

module writesScores 'modules/container-role.bicep' = {
  name: 'container-role-writesScores'
  scope: resourceGroup(batchResourceGroup)
  params: {
    accountName: 'acmelake'
    containerName: 'scores'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.storageBlobDataContributor
  }
}

// Flex Consumption: nothing runs, and nothing is paid for, while nobody asks.
resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: appName
  location: location
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: appName
  location: location
  kind: 'functionapp,linux'
  tags: {
    'godwit-package': 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packages.name}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: {
        // host.json in the package names the program.
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: 2048
        maximumInstanceCount: 10
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      ftpsState: 'Disabled'
    }
    // Who reads the secrets that settings name.
    keyVaultReferenceIdentity: identity.id
    // From anywhere; the Functions host asks callers for a function key.
    publicNetworkAccess: 'Enabled'
  }
  dependsOn: [
    keepsState
  ]
}

// Packages are deployed by identities alone, not with a password.
resource ftpPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource settings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: {
    AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
    AzureWebJobsStorage__queueServiceUri: storage.properties.primaryEndpoints.queue
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identity.properties.clientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
    GODWIT_TARGET: 'azurefunctions'
    // Whose tokens the function asks for, where it reads and writes blobs.
    AZURE_CLIENT_ID: identity.properties.clientId
  }
}

output AZURE_BATCH_RESOURCE_GROUP string = batchResourceGroup
output AZURE_FUNCTION_NAME string = app.name
output AZURE_RESOURCE_GROUP string = resourceGroup().name
output AZURE_STORAGE_NAME string = storage.name
output FUNCTION_URL string = 'https://${app.properties.defaultHostName}'
